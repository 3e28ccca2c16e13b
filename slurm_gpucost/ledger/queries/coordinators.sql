-- Who coordinates which account of a cluster, as slurmdbd said it last up to a moment; of one user, or of all.
SELECT account, user
FROM (
  SELECT account, user, coordinates, max(observed_at_ms) AS at_ms
  FROM coordinator_report
  WHERE cluster = :cluster AND observed_at_ms <= :at_ms
    AND user BETWEEN ifnull(:user, '') AND ifnull(:user, char(1114111))
  GROUP BY user, account
)
WHERE coordinates = 1
ORDER BY user, account
