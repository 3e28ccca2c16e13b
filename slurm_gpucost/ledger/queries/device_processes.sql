-- Processes that the driver listed on :devices (a JSON list) at some time in [:start_ms, :end_ms).
SELECT p.*
FROM device_process p JOIN json_each(:devices) d ON p.device = d.value
WHERE p.last_seen_ms >= :start_ms AND p.first_seen_ms < :end_ms
ORDER BY p.device, p.first_seen_ms, p.pid
