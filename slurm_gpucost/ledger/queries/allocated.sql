-- What the scheduler allocated in [:start_ms, :end_ms), from the accounting's own rows: milliseconds of each AllocTRES and node
-- list, suspension included. Running attempts count to :end_ms: give one up to which the accounting was heard.
SELECT a.cluster, r.alloc_tres, r.node_list,
  sum(CASE WHEN coalesce(a.end_ms, :end_ms) > :end_ms THEN :end_ms ELSE coalesce(a.end_ms, :end_ms) END
    - CASE WHEN a.start_ms < :start_ms THEN :start_ms ELSE a.start_ms END) AS length_ms
FROM attempt a
JOIN accounting_row r ON r.cluster = a.cluster AND r.job_id = a.job_id AND r.submit_ms = a.submit_ms AND r.digest = a.evidence
WHERE a.start_ms < :end_ms AND (a.end_ms > :start_ms OR a.end_ms IS NULL)
GROUP BY a.cluster, r.alloc_tres, r.node_list
ORDER BY a.cluster, r.alloc_tres, r.node_list
