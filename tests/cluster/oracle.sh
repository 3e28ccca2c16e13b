#!/bin/sh
# The month's bill again, from sacct's own words, by sqlite3 and awk alone: what invoices are held against.
# Usage: oracle.sh START END UNIT_PRICE   (epoch seconds of the month in the zone; price of a device-hour, four decimals)
# Prints: account, user ('' for the account's total), quarter-device-seconds, device-hours, cents, tab-separated.
# A user's cents are exact (six decimals); the total's are rounded half up.
set -eu
start=$1 end=$2 price=$3
rows=$(mktemp) sums=$(mktemp)
trap 'rm -f "$rows" "$sums"' EXIT

SLURM_TIME_FORMAT=%s TZ=UTC sacct -a -D -X -P -n -S "uts$((start - 40 * 86400))" -E "uts$((end + 86400))" \
  --format=Account,User,Start,End,ElapsedRaw,AllocTRES,State |
  awk -F'|' '
    # What ended with its node is not billed, nor is suspended time, which ElapsedRaw leaves out.
    $7 !~ /^(NODE_FAIL|BOOT_FAIL)/ && $3 ~ /^[0-9]+$/ && $4 ~ /^[0-9]+$/ {
      quarters = 0
      n = split($6, tres, ",")
      for (i = 1; i <= n; i++) {
        if (tres[i] ~ /^gres\/gpu=/) { sub(/.*=/, "", tres[i]); quarters += 4 * tres[i] }
        else if (tres[i] ~ /^gres\/shard=/) { sub(/.*=/, "", tres[i]); quarters += tres[i] }
      }
      if (quarters) print $1 "|" $2 "|" $3 "|" $4 "|" $5 "|" quarters
    }' >"$rows"

sqlite3 -separator '|' :memory: <<SQL
CREATE TABLE row (account TEXT, user TEXT, start INTEGER, finish INTEGER, elapsed INTEGER, quarters INTEGER);
.import $rows row
.mode list
.separator "\t"
.output $sums
WITH clipped AS (
  SELECT account, user, quarters * CASE
    WHEN start >= $start AND finish <= $end THEN elapsed
    ELSE min(finish, $end) - max(start, $start)
  END AS quantity
  FROM row WHERE start < $end AND finish > $start
)
SELECT account, user, sum(quantity) FROM clipped GROUP BY account, user
UNION ALL SELECT account, '', sum(quantity) FROM clipped GROUP BY account
ORDER BY 1, 2;
SQL

# A cent is quantity / 4 / 3600 x price x 100; the price in ten-thousandths keeps this in whole numbers.
units=$(printf '%s' "$price" | tr -d .)
awk -F'\t' -v units="$units" '{
  share = $3 * units
  cents = $2 == "" ? sprintf("%d", (2 * share + 1440000 - (2 * share + 1440000) % 2880000) / 2880000) : sprintf("%.6f", share / 1440000)
  printf "%s\t%s\t%d\t%.6f\t%s\n", $1, $2, $3, $3 / 14400, cents
}' "$sums"
