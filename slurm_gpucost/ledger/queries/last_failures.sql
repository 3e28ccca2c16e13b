-- What witnesses said at their latest failure.
SELECT witness, cluster, observed_at_ms, detail
FROM source_poll p
WHERE ok = 0 AND observed_at_ms = (
  SELECT max(observed_at_ms) FROM source_poll q WHERE q.witness = p.witness AND q.cluster = p.cluster AND ok = 0)
GROUP BY witness, cluster
ORDER BY witness, cluster
