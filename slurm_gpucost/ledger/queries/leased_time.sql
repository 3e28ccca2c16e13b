-- Device time of all leases in [:start_ms, :end_ms), billed or not, by cluster, kind, suspension and whether a slot is named.
-- quantity / share_den is device-milliseconds. What runs counts up to the end of the window: give one that was looked at.
WITH touching AS (
  SELECT * FROM lease
  WHERE end_ms > :start_ms
    AND end_ms < :end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms')
    AND start_ms < :end_ms
  UNION ALL
  SELECT * FROM lease WHERE end_ms = 4611686018427387903 AND start_ms < :end_ms
),
clipped AS (
  SELECT cluster, gres_name, gres_type, device, billable, suspended, gres_index, prolog_ms, start_ms, share_den, units * share_num AS units,
    CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS from_ms,
    CASE WHEN end_ms > :end_ms THEN :end_ms ELSE end_ms END AS to_ms
  FROM touching
)
SELECT clipped.cluster, gres_name, gres_type, device.model AS model, billable, suspended <> '' AS suspended,
  gres_index IS NOT NULL AS named, share_den,
  sum(CASE WHEN to_ms > from_ms THEN (to_ms - from_ms) * units ELSE 0 END) AS quantity,
  -- before the prolog the job has not the device yet
  sum(CASE WHEN prolog_ms <= start_ms OR prolog_ms IS NULL OR from_ms > start_ms THEN 0
    WHEN prolog_ms > to_ms THEN (to_ms - from_ms) * units ELSE (prolog_ms - from_ms) * units END) AS before_prolog
FROM clipped LEFT JOIN device ON device.device = clipped.device
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
