-- Users who are Slurm operators or administrators on a cluster, as slurmdbd said it last up to a moment; of one user, or of all.
SELECT user, admin_level
FROM (
  SELECT user, admin_level, max(observed_at_ms) AS at_ms
  FROM user_report
  WHERE cluster = :cluster AND observed_at_ms <= :at_ms
    AND user BETWEEN ifnull(:user, '') AND ifnull(:user, char(1114111))
  GROUP BY user
)
WHERE admin_level IS NOT NULL
ORDER BY user
