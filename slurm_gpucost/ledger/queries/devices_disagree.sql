-- Attempts whose prolog and controller named different slots on a node, of what ran in [:start_ms, :end_ms). Rows as both said it;
-- whether they differ is for the caller to see.
SELECT h.cluster, h.job_id, h.node, h.at_ms, h.job_gpus, c.gres, c.observed_at_ms
FROM hook_event h
JOIN controller_row c ON c.cluster = h.cluster AND c.job_id = h.job_id AND c.gres <> '[]'
  AND c.start_ms <= h.at_ms + 1000 AND c.observed_at_ms >= h.at_ms
WHERE h.hook = 'prolog' AND h.job_gpus IS NOT NULL AND h.at_ms >= :start_ms AND h.at_ms < :end_ms
  AND NOT EXISTS (SELECT 1 FROM hook_event x WHERE x.cluster = h.cluster AND x.job_id = h.job_id AND x.hook = 'prolog'
    AND x.node = h.node AND x.at_ms > h.at_ms AND x.at_ms <= c.observed_at_ms)
ORDER BY h.cluster, h.job_id, h.at_ms, h.node
