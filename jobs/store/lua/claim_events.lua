-- include: clock
-- Give a worker events to send: of each stream that is due, the first. It has them for a limited time; if it does not
-- settle one by then, the event is due again.
--   KEYS[1]  webhook hash
--   ARGV     1 most events of this webhook that are sent at a time, by all workers   2 ttl_ms
--   returns  {now_ms on the server's clock, {stream, try, event}, …}
local webhook, ttl_ms = KEYS[1], tonumber(ARGV[2])
local now, wall = steady_ms()
local due, sending, claimed = webhook .. DUE_EVENTS, webhook .. SENDING, { wall }
redis.call('ZREMRANGEBYSCORE', sending, '-inf', now)
local room = tonumber(ARGV[1]) - redis.call('ZCARD', sending)
for _, stream in ipairs(room > 0 and redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, room) or {}) do
  local event = redis.call('LRANGE', webhook .. EVENTS .. stream, 0, 0)[1]
  redis.call('ZADD', due, now + ttl_ms, stream)
  redis.call('ZADD', sending, now + ttl_ms, stream)
  claimed[#claimed + 1] = { stream, redis.call('HINCRBY', webhook, 'tries:' .. stream, 1), event }
end
return claimed
