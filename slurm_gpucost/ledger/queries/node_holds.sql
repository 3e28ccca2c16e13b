-- Attempts of which the accounting knows that overlap [:start_ms, :end_ms), with GPUs or without: whole, with the nodes and the
-- TRES that they held. stop_ms: their end, of those that run the last good look at the accounting, as in billable_time.
WITH longest AS (
  SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 AS ms FROM meta WHERE key = 'longest_lease_ms'
),
polled AS (
  SELECT cluster, max(observed_at_ms) AS at_ms
  FROM source_poll
  WHERE witness = 'sacct' AND ok = 1 AND current = 1
  GROUP BY cluster
),
overlapping AS (
  SELECT * FROM attempt
  WHERE end_ms > :start_ms AND end_ms < :end_ms + (SELECT ms FROM longest) AND start_ms < :end_ms AND billable = 1
  UNION ALL
  SELECT * FROM attempt WHERE end_ms IS NULL AND start_ms < :end_ms AND billable = 1
)
SELECT a.cluster, a.job_id, a.submit_ms, a.witness, a.state, a.user, a.account, a.partition, a.start_ms, a.end_ms, a.elapsed_ms,
  a.suspended_ms, a.billable, a.seen_ms, a.vanished, a.qos, a.reservation, a.run, a.cancelled_by, r.node_list, r.alloc_tres,
  coalesce(a.end_ms, CASE WHEN polled.at_ms > a.seen_ms THEN polled.at_ms ELSE a.seen_ms END) AS stop_ms
FROM overlapping a
JOIN accounting_row r
  ON r.cluster = a.cluster AND r.job_id = a.job_id AND r.submit_ms = a.submit_ms AND r.digest = a.evidence
LEFT JOIN polled ON polled.cluster = a.cluster
ORDER BY a.cluster, a.job_id, a.submit_ms
