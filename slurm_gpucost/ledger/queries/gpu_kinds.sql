-- Each GPU that the driver listed (no MIG instances): its product name, and where it was last: node, and GRES type of the slot.
WITH last AS (
  SELECT device, cluster, node, gres_type, max(observed_at_ms) FROM slot_report WHERE device IS NOT NULL GROUP BY device
)
SELECT d.device, d.model, coalesce(last.gres_type, '') AS gres_type, coalesce(last.cluster, '') AS cluster,
  coalesce(last.node, '') AS node
FROM device d LEFT JOIN last ON last.device = d.device
ORDER BY d.device
