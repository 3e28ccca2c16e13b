-- What PrivateData hides on a cluster, as Slurm said it last up to a moment.
SELECT private_data
FROM privacy_report
WHERE cluster = :cluster AND observed_at_ms <= :at_ms
ORDER BY observed_at_ms DESC
LIMIT 1
