-- How many CPUs nodes have, each from observed_at_ms on, in order of node and time.
SELECT cluster, node, observed_at_ms, cpus FROM node_cpus ORDER BY cluster, node, observed_at_ms
