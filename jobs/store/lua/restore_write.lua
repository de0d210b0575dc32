-- include: clock
-- Write the ledger of a job's restore, if the lease of the portal's restores is held.
--   KEYS     1 the portal's lease of restores   2 hash of the job
--   ARGV     1 token   2 segment, -1 for no entry   3 offset in its bytes   4 the entry
--            then pairs of a field of the restore's hash and its value; `now` stands for the steady clock, and an
--            empty value removes the field
--   returns  1: written   0: another process holds the lease, or the job is gone; nothing was written
local job = KEYS[2]
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] or redis.call('HEXISTS', job, 'state') == 0 then
  return 0
end
if tonumber(ARGV[2]) >= 0 then
  redis.call('SETRANGE', job .. RESTORED .. ARGV[2], tonumber(ARGV[3]), ARGV[4])
end
for place = 5, #ARGV, 2 do
  if ARGV[place + 1] == '' then
    redis.call('HDEL', job .. RESTORING, ARGV[place])
  else
    redis.call('HSET', job .. RESTORING, ARGV[place], ARGV[place + 1] == 'now' and steady_ms() or ARGV[place + 1])
  end
end
return 1
