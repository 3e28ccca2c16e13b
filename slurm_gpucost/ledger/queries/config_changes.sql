-- Every noted change of the config's values that the money rests on, oldest first.
SELECT seq, at_ms, login, uid, host, terminal, what, why
FROM change_log
WHERE subject = 'config'
ORDER BY seq
