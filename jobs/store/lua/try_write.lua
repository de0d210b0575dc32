-- Make every kind of change that accepting a job makes, and leave nothing behind: this is refused whenever accepting a
-- job would be refused (out of memory, a replica, a failing disk, a missing right).
--   KEYS     1 a staged list, with one field   2 hash of a job that cannot exist   3 index of jobs   4 hash of a portal
--            5 arq's queue   6 an arq message
--   ARGV     1 an ID that no job can have
--   returns  'OK', also if the same call is repeated
-- Commands that change nothing come first: if a right is missing, nothing has been written yet.
local staged, job, index, portal, queue, message = unpack(KEYS)
local id, segments = ARGV[1], job .. SEGMENTS
redis.call('UNLINK', job, segments, message)
redis.call('PERSIST', segments)
redis.call('ZADD', index, 'XX', 0, id)
redis.call('ZADD', queue, 'XX', 0, id)
redis.call('ZADD', portal .. ACTIVE, 'XX', 0, id)
redis.call('ZREM', portal .. WAITING, id)
redis.call('HGET', job, 'digest')
redis.call('HMGET', portal, 'turn')
redis.call('TIME')
if redis.call('EXISTS', staged) == 1 then
  redis.call('RENAME', staged, segments)
end
redis.call('HSET', job, 'state', '')
redis.call('PSETEX', message, 1000, '')
redis.call('UNLINK', job, segments, message)
return 'OK'
