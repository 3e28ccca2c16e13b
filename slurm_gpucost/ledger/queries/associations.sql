-- A cluster's accounts with their parents (user '') and who is a member, as slurmdbd said it last up to a moment; of one user, or of all.
SELECT account, user, parent
FROM (
  SELECT account, user, parent, listed, max(observed_at_ms) AS at_ms
  FROM association_report
  WHERE cluster = :cluster AND observed_at_ms <= :at_ms
    AND user BETWEEN ifnull(:user, '') AND ifnull(:user, char(1114111))
  GROUP BY user, account
)
WHERE listed = 1
ORDER BY user, account
