-- Device-milliseconds that existed in [:start_ms, :end_ms), by cluster and kind of device; devices: slots at its end.
-- first_ms: from when on the cluster's inventory is known at all.
-- :nodes is NULL, or a JSON array of CLUSTER/NODE: then only what is on one of these with :among 1, on none with 0.
WITH clipped AS (
  SELECT c.cluster, c.gres_type, d.model,
    CASE WHEN c.start_ms < :start_ms THEN :start_ms ELSE c.start_ms END AS from_ms,
    CASE WHEN c.end_ms > :end_ms THEN :end_ms ELSE c.end_ms END AS to_ms,
    c.start_ms < :end_ms AND c.end_ms >= :end_ms AS there
  FROM capacity c LEFT JOIN device d ON d.device = c.device
  WHERE (:nodes IS NULL OR (c.cluster || '/' || coalesce(c.node, '') IN (SELECT value FROM json_each(:nodes))) = :among)
)
SELECT cluster, gres_type, model,
  sum(CASE WHEN to_ms > from_ms THEN to_ms - from_ms ELSE 0 END) AS quantity,
  sum(there) AS devices,
  (SELECT min(start_ms) FROM capacity x WHERE x.cluster = clipped.cluster) AS first_ms
FROM clipped
GROUP BY cluster, gres_type, model
ORDER BY cluster, gres_type, model
