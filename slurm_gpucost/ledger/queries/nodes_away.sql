-- Nodes that at :now_ms Slurm has no more, or knows to be powered down, in maintenance or down: they cannot be heard.
SELECT cluster, node
FROM (SELECT cluster, node, gres, max(observed_at_ms) AS last_ms FROM node_report GROUP BY cluster, node) r
WHERE gres = ''
UNION
SELECT cluster, node
FROM (
  SELECT cluster, node, source, start_ms, end_ms, class, max(observed_at_ms) AS last_ms
  FROM node_event
  WHERE start_ms <= :now_ms
  GROUP BY cluster, node, source, start_ms
) e
WHERE (end_ms IS NULL OR end_ms > :now_ms) AND class IN ('powered_down', 'maintenance', 'down')
ORDER BY cluster, node
