-- include: clock job item actions
-- Try the failed contact IDs of a completed job again, all or none: their outcome is taken back and they wait for a
-- PUT.
--   KEYS     1 job hash   2 portal hash
--   ARGV     1 job ID   2 token of this request: sending it a second time changes nothing more
--            3 how many contact IDs have failed, according to the ledger that the caller read
--            4 token of the request before this one, from before the caller began to read, or ''
--            5 who asks   6 finished_ms, also from before the caller began to read
--            7… segment, size, record that makes them pending again, item; for each group of contact IDs
--   returns  {'ok', state}   {'illegal', state}   {'unknown'}
--            {'changed'}     the ledger has changed since the caller read it: read it again
local job, portal, job_id, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local facts = redis.call('HMGET', job, 'state', 'n:failed', 'retry_token', 'finished_ms')
if not facts[1] then
  return { 'unknown' }
elseif facts[3] == token then
  return { 'ok', facts[1] }
elseif not MOVES[facts[1] .. '/retry_failed'] then
  return { 'illegal', facts[1] }
elseif tonumber(facts[2] or 0) ~= tonumber(ARGV[3]) or (facts[3] or '') ~= ARGV[4] or facts[4] ~= ARGV[6] then
  -- The number alone is not enough: contact IDs other than those that the caller read may have failed since. Or the end of
  -- the job was undone by a fail-over, and it has ended once more, in another way.
  return { 'changed' }
end
local now, wall = steady_ms()
for at = 7, #ARGV, 4 do
  local item_id = redis.call('HINCRBY', job, 'next_item', 1) .. ':' .. ARGV[at + 1]
  redis.call('RPUSH', job .. LEDGER .. ARGV[at], ARGV[at + 2])
  redis.call('HSET', job .. ITEMS, item_id, ARGV[at + 3])
  redis.call('ZADD', job .. DUE[PUT], now, item_id)
end
redis.call('HSET', job, 'retry_token', token)
redis.call('HINCRBY', job, 'retries', 1)
redis.call('HINCRBY', job, 'n:failed', -ARGV[3])
redis.call('HINCRBY', job, 'n:pending', ARGV[3])
-- Only what fails from now on counts for the failure threshold.
redis.call('HSET', job, 'judged_done', redis.call('HGET', job, 'total') - ARGV[3], 'judged_failed', 0)
redis.call('HDEL', job, 'finished_ms')
redis.call('ZREM', FINISHED, job_id)
local state = move(job, 'retry_failed')
activate(portal, job_id)
note_action(job, ARGV[5], 'retry-failed', ARGV[3] .. ' contacts', wall)
return { 'ok', state }
