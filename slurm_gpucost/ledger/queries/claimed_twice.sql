-- Devices of which two nodes have told since :start_ms, in order of who told first.
SELECT c.device, c.cluster, c.node
FROM device_claim c
JOIN (
  SELECT device FROM device_claim WHERE last_ms >= :start_ms GROUP BY device HAVING count(*) > 1
) d ON d.device = c.device
WHERE c.last_ms >= :start_ms
ORDER BY c.device, c.first_ms, c.cluster, c.node
