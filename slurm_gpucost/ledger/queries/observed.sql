-- How long the driver was read in [:start_ms, :end_ms), of all devices that nodes told of in it; MIG devices are in their GPUs.
-- No window is longer than an hour.
SELECT count(DISTINCT c.device) AS devices,
  coalesce(sum(max(0, min(w.end_ms, :end_ms) - max(w.start_ms, :start_ms))), 0) AS observed_ms
FROM (
  SELECT DISTINCT device FROM device_claim
  WHERE last_ms >= :start_ms AND first_ms < :end_ms AND device IN (SELECT device FROM device_report)
) c
LEFT JOIN usage_window w
  ON w.device = c.device AND w.start_ms < :end_ms AND w.start_ms > :start_ms - 3600001 AND w.end_ms > :start_ms
