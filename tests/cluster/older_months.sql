-- Copies of every job that ran: ids from 100000 on, hours instead of seconds, spread around @turn (epoch seconds), so
-- that some lie before it, some after it, some across it. Run by scenario.py in slurmdbd's database.
CREATE TABLE older AS SELECT * FROM alpha_job_table WHERE time_start > 0 AND time_end > 0 AND tres_alloc <> '';
ALTER TABLE older ADD COLUMN nth INT NOT NULL AUTO_INCREMENT PRIMARY KEY;
UPDATE older SET
  id_job = 100000 + nth,
  id_array_job = 0,
  id_array_task = 4294967294,
  array_task_pending = 0,
  time_end = (time_end - time_start) * 10007 + nth,
  time_suspended = 0;
UPDATE older SET
  time_submit = @turn - 100000 + nth * 9117,
  time_eligible = @turn - 100000 + nth * 9117,
  time_start = @turn - 100000 + nth * 9117 + 61,
  time_end = @turn - 100000 + nth * 9117 + 61 + time_end;
ALTER TABLE older DROP COLUMN nth, DROP COLUMN job_db_inx;
SET @columns = (
  SELECT group_concat('`', column_name, '`' ORDER BY ordinal_position)
  FROM information_schema.columns WHERE table_schema = database() AND table_name = 'older'
);
EXECUTE IMMEDIATE concat('INSERT INTO alpha_job_table (', @columns, ') SELECT ', @columns, ' FROM older');
