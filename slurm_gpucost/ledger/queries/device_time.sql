-- What devices did in [:start_ms, :end_ms) while no lease that names them held them, by cluster, kind, state and class.
-- quantity / share_den is device-milliseconds.
-- :nodes is NULL, or a JSON array of CLUSTER/NODE: then only what is on one of these with :among 1, on none with 0.
WITH clipped AS (
  SELECT t.cluster, t.gres_type, d.model, t.state, t.class, t.share_num, t.share_den,
    CASE WHEN t.start_ms < :start_ms THEN :start_ms ELSE t.start_ms END AS from_ms,
    CASE WHEN t.end_ms > :end_ms THEN :end_ms ELSE t.end_ms END AS to_ms
  FROM device_time t LEFT JOIN device d ON d.device = t.device
  WHERE t.end_ms > :start_ms AND t.start_ms < :end_ms
    AND (:nodes IS NULL OR (t.cluster || '/' || coalesce(t.node, '') IN (SELECT value FROM json_each(:nodes))) = :among)
)
SELECT cluster, gres_type, model, state, class, share_den, sum((to_ms - from_ms) * share_num) AS quantity
FROM clipped
GROUP BY cluster, gres_type, model, state, class, share_den
ORDER BY cluster, gres_type, model, state, class, share_den
