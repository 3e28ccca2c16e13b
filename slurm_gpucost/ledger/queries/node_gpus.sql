-- What is left of nodes' GPUs at each moment of [:start_ms, :end_ms) is: capacity - lease - unavailable + oversubscribed.
-- units / share_den devices, clipped to the period; share_den 0: nobody says. Of leases, also whose and whether suspended.
-- What runs counts up to the end of the window: so nobody is told to block what another may still hold.
WITH longest AS (
  SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 AS ms FROM meta WHERE key = 'longest_lease_ms'
),
said AS (
  SELECT c.cluster, c.node, 'capacity' AS state, c.start_ms, c.end_ms, 1 AS units, 1 AS share_den, c.gres_type, d.model,
    0 AS job_id, 0 AS submit_ms, 0 AS suspended
  FROM capacity c LEFT JOIN device d ON d.device = c.device
  UNION ALL
  SELECT cluster, node, state, start_ms, end_ms, share_num, share_den, '', NULL, 0, 0, 0 FROM device_time
  WHERE end_ms > :start_ms AND state IN ('unavailable', 'oversubscribed')
  UNION ALL
  SELECT cluster, node, 'lease', start_ms, end_ms, units * share_num, share_den, '', NULL, job_id, submit_ms, suspended <> ''
  FROM lease
  WHERE node IS NOT NULL AND end_ms > :start_ms AND end_day >= :start_ms / 86400000
    AND end_day <= (:end_ms + (SELECT ms FROM longest)) / 86400000
  UNION ALL
  SELECT cluster, node, 'lease', start_ms, end_ms, units * share_num, share_den, '', NULL, job_id, submit_ms, suspended <> ''
  FROM lease
  WHERE node IS NOT NULL AND end_day = 4611686018427387903 / 86400000
)
SELECT cluster, node, state, units, share_den, gres_type, model, job_id, submit_ms, suspended,
  CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS start_ms,
  CASE WHEN end_ms > :end_ms THEN :end_ms ELSE end_ms END AS end_ms
FROM said
WHERE start_ms < :end_ms AND end_ms > :start_ms AND start_ms < end_ms
ORDER BY cluster, node
