-- Each GPU that the driver listed (no MIG instances): its product name, and the GRES type of the slot it was last in.
SELECT d.device, d.model, coalesce((
    SELECT s.gres_type FROM slot_report s WHERE s.device = d.device ORDER BY s.observed_at_ms DESC LIMIT 1
  ), '') AS gres_type
FROM device d
ORDER BY d.device
