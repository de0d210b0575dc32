-- include: job
-- Give a worker events to send: of each stream that is due, the first. It has them for a limited time; if it does not
-- settle one by then, the event is due again.
--   KEYS[1]  webhook hash
--   ARGV     1 most events of this webhook that are sent at a time, by all workers   2 ttl_ms
--            3 longest_wait_ms: no event waits longer for its next try, unless this server's clock was set back
--   returns  {now_ms, {stream, try, event}, …}
local webhook, now, ttl_ms, longest_ms = KEYS[1], now_ms(), tonumber(ARGV[2]), tonumber(ARGV[3])
local due, sending, claimed = webhook .. DUE_EVENTS, webhook .. SENDING, { now }
for _, stream in ipairs(redis.call('ZRANGE', due, '(' .. now + longest_ms, '+inf', 'BYSCORE')) do
  redis.call('ZADD', due, now, stream)
end
redis.call('ZREMRANGEBYSCORE', sending, '-inf', now)
redis.call('ZREMRANGEBYSCORE', sending, '(' .. now + ttl_ms, '+inf')
local room = tonumber(ARGV[1]) - redis.call('ZCARD', sending)
for _, stream in ipairs(room > 0 and redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, room) or {}) do
  local event = redis.call('LRANGE', webhook .. EVENTS .. stream, 0, 0)[1]
  redis.call('ZADD', due, now + ttl_ms, stream)
  redis.call('ZADD', sending, now + ttl_ms, stream)
  claimed[#claimed + 1] = { stream, redis.call('HINCRBY', webhook, 'tries:' .. stream, 1), event }
end
return claimed
