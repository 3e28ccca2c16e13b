-- Device time by owner and kind of device, in one period: integers only, nothing priced.
-- quantity / share_den is device-milliseconds; share_den 0: the config does not say how many shards make a device.
-- Running leases count up to the last good look at the accounting. Suspended ones are leased, not billed: left out.
-- Parameters: :start_ms, :end_ms (end exclusive); :held 0 for what accounting knows, 1 for what it does not (shown, not billed).
WITH polled AS (
  SELECT cluster, max(observed_at_ms) AS at_ms
  FROM source_poll
  WHERE witness = 'sacct' AND ok = 1 AND current = 1
  GROUP BY cluster
),
touching AS (
  SELECT cluster, job_id, account, user, gres_name, gres_type, device, share_den, units * share_num AS units, start_ms,
    end_ms AS stop_ms, 0 AS running
  FROM lease
  WHERE end_ms > :start_ms
    AND end_ms < :end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms')
    AND start_ms < :end_ms AND billable = 1 - :held AND suspended = ''
  UNION ALL
  SELECT lease.cluster, job_id, account, user, gres_name, gres_type, device, share_den, units * share_num, start_ms,
    CASE WHEN polled.at_ms > seen_ms THEN polled.at_ms ELSE seen_ms END, 1
  FROM lease LEFT JOIN polled ON polled.cluster = lease.cluster
  WHERE end_ms = 4611686018427387903 AND start_ms < :end_ms AND billable = 1 - :held AND suspended = ''
),
clipped AS (
  SELECT cluster, account, user, gres_name, gres_type, device, share_den, units, running,
    CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS from_ms,
    CASE WHEN stop_ms > :end_ms THEN :end_ms ELSE stop_ms END AS to_ms
  FROM touching
)
SELECT clipped.cluster, account, user, gres_name, gres_type, device.model AS model, share_den,
  sum(CASE WHEN to_ms > from_ms THEN (to_ms - from_ms) * units ELSE 0 END) AS quantity,
  sum(running) AS running,
  count(*) AS leases
FROM clipped LEFT JOIN device ON device.device = clipped.device
GROUP BY clipped.cluster, account, user, gres_name, gres_type, device.model, share_den
ORDER BY clipped.cluster, account, user, gres_name, gres_type, device.model, share_den
