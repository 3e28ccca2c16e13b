-- Ended attempts with GPUs that accounting knows and no prolog told of, since :start_ms: a node without hooks, or a lost event.
SELECT count(*) AS attempts,
  sum(CASE WHEN EXISTS (SELECT 1 FROM hook_event h WHERE h.cluster = a.cluster AND h.job_id = a.job_id AND h.hook = 'prolog')
    THEN 0 ELSE 1 END) AS without_prolog,
  sum(CASE WHEN EXISTS (SELECT 1 FROM hook_event h WHERE h.cluster = a.cluster AND h.job_id = a.job_id AND h.hook = 'epilog')
    THEN 0 ELSE 1 END) AS without_epilog
FROM attempt a
WHERE a.billable = 1 AND a.end_ms > :start_ms AND a.start_ms IS NOT NULL
  AND EXISTS (SELECT 1 FROM lease l WHERE l.cluster = a.cluster AND l.job_id = a.job_id AND l.submit_ms = a.submit_ms)
