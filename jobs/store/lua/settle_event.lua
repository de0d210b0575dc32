-- include: clock
-- Record what became of an event that was sent. Once it is delivered or given up, the next one of its stream is due.
--   KEYS[1]  webhook hash
--   ARGV     1 stream   2 ID of the event   3 try, as claimed   4 result: delivered, failed or given_up
--            5 delay_ms: when a failed one is sent again   6 the try for people, JSON (jobs/webhooks/outbox.py)
--   returns  {'ok'}
--            {'lost'}   the event has left the outbox, or another worker has it now and this result says nothing: an
--                       event that was delivered is, whoever delivered it
local webhook, stream, result = KEYS[1], ARGV[1], ARGV[4]
local now, wall = steady_ms()
local events = webhook .. EVENTS .. stream
local first = redis.call('LRANGE', events, 0, 0)[1]
if not first or cjson.decode(first).id ~= ARGV[2] then
  return { 'lost' }
elseif result ~= 'delivered' and redis.call('HGET', webhook, 'tries:' .. stream) ~= ARGV[3] then
  return { 'lost' }
end
redis.call('HINCRBY', webhook, result, 1)
redis.call('LPUSH', webhook .. DELIVERIES, ARGV[6])
redis.call('LTRIM', webhook .. DELIVERIES, 0, LAST_DELIVERIES - 1)
redis.call('ZREM', webhook .. SENDING, stream)
if result == 'failed' then
  redis.call('ZADD', webhook .. DUE_EVENTS, now + tonumber(ARGV[5]), stream)
  return { 'ok' }
elseif result == 'delivered' then
  redis.call('HSET', webhook, 'delivered_ms', wall)
end
redis.call('LTRIM', events, 1, -1)
redis.call('HDEL', webhook, 'tries:' .. stream)
redis.call('ZREM', webhook .. UNSENT, ARGV[2])
if redis.call('EXISTS', events) == 1 then
  redis.call('ZADD', webhook .. DUE_EVENTS, now, stream)
else
  redis.call('ZREM', webhook .. DUE_EVENTS, stream)
end
return { 'ok' }
