-- What the projection fails at, and why.
SELECT 'job ' || job_id AS what, cluster, reason FROM unprojected_job
UNION ALL
SELECT 'the time of node ' || node, cluster, reason FROM unprojected_node
ORDER BY cluster, what
