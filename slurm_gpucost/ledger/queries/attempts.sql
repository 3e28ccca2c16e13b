-- Attempts that overlap [:start_ms, :end_ms), not clipped; one that never ran counts by its submit and end.
-- Lists are JSON arrays or NULL for all: :clusters, :users, :accounts, :job_ids, :states, :partitions.
WITH overlapping AS MATERIALIZED (
  SELECT * FROM attempt
  WHERE start_ms < :end_ms AND end_ms >= :start_ms AND (end_ms > :start_ms OR start_ms = end_ms)
    AND end_ms < :end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms')
  UNION ALL
  SELECT * FROM attempt WHERE end_ms IS NULL AND coalesce(start_ms, submit_ms) < :end_ms
  UNION ALL
  SELECT * FROM attempt WHERE start_ms IS NULL AND end_ms >= :start_ms AND submit_ms < :end_ms
)
SELECT a.cluster, a.job_id, a.submit_ms, a.witness, a.state, a.user, a.account, a.partition, a.start_ms, a.end_ms,
  a.elapsed_ms, a.suspended_ms, a.billable, a.seen_ms, a.vanished,
  -- a saved file without free text takes no name away that another row told
  coalesce(nullif(r.job_name, ''), (SELECT max(x.job_name) FROM accounting_row x
    WHERE x.cluster = a.cluster AND x.job_id = a.job_id AND x.submit_ms = a.submit_ms)) AS job_name,
  r.qos,
  coalesce(nullif(r.wckey, ''), (SELECT max(x.wckey) FROM accounting_row x
    WHERE x.cluster = a.cluster AND x.job_id = a.job_id AND x.submit_ms = a.submit_ms)) AS wckey, r.array_job_id, r.array_task_id, r.het_job_id, r.het_offset, r.exit_code, r.eligible_ms,
  r.node_list, r.alloc_tres, r.db_index
FROM overlapping a
LEFT JOIN accounting_row r
  ON r.cluster = a.cluster AND r.job_id = a.job_id AND r.submit_ms = a.submit_ms AND r.digest = a.evidence
WHERE (:clusters IS NULL OR a.cluster IN (SELECT value FROM json_each(:clusters)))
  AND (:users IS NULL OR a.user IN (SELECT value FROM json_each(:users)))
  AND (:accounts IS NULL OR a.account IN (SELECT value FROM json_each(:accounts)))
  AND (:job_ids IS NULL OR a.job_id IN (SELECT value FROM json_each(:job_ids))
    OR r.array_job_id IN (SELECT value FROM json_each(:job_ids)))
  AND (:states IS NULL OR a.state IN (SELECT value FROM json_each(:states)))
  AND (:partitions IS NULL OR a.partition IN (SELECT value FROM json_each(:partitions)))
ORDER BY a.cluster, a.job_id, a.submit_ms
