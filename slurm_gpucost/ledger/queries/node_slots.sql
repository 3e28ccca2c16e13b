-- Slots that nodes had in [:start_ms, :end_ms), clipped to it: node_gpus without what was held or out of use of them.
SELECT c.cluster, c.node, 'capacity' AS state, c.gres_type, d.model,
  CASE WHEN c.start_ms < :start_ms THEN :start_ms ELSE c.start_ms END AS start_ms,
  CASE WHEN c.end_ms > :end_ms THEN :end_ms ELSE c.end_ms END AS end_ms
FROM capacity c LEFT JOIN device d ON d.device = c.device
WHERE c.start_ms < :end_ms AND c.end_ms > :start_ms
ORDER BY c.cluster, c.node
