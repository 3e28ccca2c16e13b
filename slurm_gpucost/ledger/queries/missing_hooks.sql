-- Events that the accounting implies and the spool lacked, since :start_ms: of each ended attempt with GPUs, one prolog and
-- one epilog a node. A node without hooks, or a lost event. Hooks lie within two minutes of their attempt.
WITH ended AS (
  SELECT a.cluster, a.job_id, a.start_ms - 120000 AS from_ms, a.end_ms + 120000 AS to_ms, r.node_count
  FROM attempt a
  JOIN accounting_row r
    ON r.cluster = a.cluster AND r.job_id = a.job_id AND r.submit_ms = a.submit_ms AND r.digest = a.evidence
  WHERE a.billable = 1 AND a.end_ms > :start_ms AND a.start_ms IS NOT NULL
    AND EXISTS (SELECT 1 FROM lease_row l WHERE l.cluster = a.cluster AND l.job_id = a.job_id AND l.submit_ms = a.submit_ms)
),
seen AS (
  SELECT node_count,
    (SELECT count(DISTINCT node) FROM hook_event h WHERE h.cluster = ended.cluster AND h.job_id = ended.job_id
      AND h.hook = 'prolog' AND h.at_ms BETWEEN from_ms AND to_ms) AS prologs,
    (SELECT count(DISTINCT node) FROM hook_event h WHERE h.cluster = ended.cluster AND h.job_id = ended.job_id
      AND h.hook = 'epilog' AND h.at_ms BETWEEN from_ms AND to_ms) AS epilogs
  FROM ended
)
SELECT count(*) AS attempts,
  coalesce(sum(CASE WHEN prologs < node_count THEN node_count - prologs ELSE 0 END), 0) AS missing_prologs,
  coalesce(sum(CASE WHEN epilogs < node_count THEN node_count - epilogs ELSE 0 END), 0) AS missing_epilogs
FROM seen
