-- include: job
-- Write the ledger of a job's restore, if its lease is held.
--   KEYS[1]  job hash
--   ARGV     1 token   2 segment, -1 for no entry   3 offset in its bytes   4 the entry
--            then pairs of a field of the restore's hash and its value; `now` stands for this server's clock, and an
--            empty value removes the field
--   returns  1: written   0: another process holds the lease, or the job is gone; nothing was written
local restore = KEYS[1] .. RESTORING
if redis.call('HGET', restore, 'holder') ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) >= 0 then
  redis.call('SETRANGE', KEYS[1] .. RESTORED .. ARGV[2], tonumber(ARGV[3]), ARGV[4])
end
for place = 5, #ARGV, 2 do
  if ARGV[place + 1] == '' then
    redis.call('HDEL', restore, ARGV[place])
  else
    redis.call('HSET', restore, ARGV[place], ARGV[place + 1] == 'now' and now_ms() or ARGV[place + 1])
  end
end
return 1
