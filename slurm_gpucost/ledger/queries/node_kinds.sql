-- Which GPUs each node had in [:start_ms, :end_ms), by kind: quantity is the device-milliseconds that they existed.
WITH clipped AS (
  SELECT c.cluster, c.node, c.gres_type, d.model,
    CASE WHEN c.start_ms < :start_ms THEN :start_ms ELSE c.start_ms END AS from_ms,
    CASE WHEN c.end_ms > :end_ms THEN :end_ms ELSE c.end_ms END AS to_ms
  FROM capacity c LEFT JOIN device d ON d.device = c.device
  WHERE c.start_ms < :end_ms AND c.end_ms > :start_ms
)
SELECT cluster, node, gres_type, model, sum(to_ms - from_ms) AS quantity
FROM clipped
GROUP BY cluster, node, gres_type, model
ORDER BY cluster, node, gres_type, model
