-- What the driver measured of :devices (a JSON list) in [:start_ms, :end_ms), and of each the last window before it that knows the counter.
-- Columns in the order of the table. No window is longer than an hour.
SELECT w.*
FROM usage_window w JOIN json_each(:devices) d ON w.device = d.value
WHERE w.start_ms < :end_ms AND w.end_ms > :start_ms AND w.start_ms > :start_ms - 3600001
UNION
SELECT w.*
FROM json_each(:devices) d
JOIN usage_window w ON w.device = d.value AND w.start_ms = (
  SELECT max(b.start_ms) FROM usage_window b
  WHERE b.device = d.value AND b.start_ms < :start_ms AND b.energy_counter_end_mj IS NOT NULL
)
ORDER BY 1, 2
