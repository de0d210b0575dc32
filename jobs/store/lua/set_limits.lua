-- include: job actions gates
-- Change how hard a portal is driven, for all workers from their next call on.
--   KEYS     1 portal hash
--   ARGV     1 set_rate, calls/s   2 set_concurrency, calls in flight   3 open_until_ms: until then PUTs may leave
--            although the windows are closed   for each: '' leaves it as it is, 'default' returns to the configuration
--            4 who asks   5 what was asked, in words
--            6 token of this request: sending it a second time changes nothing more
--   returns  1
if was_done(KEYS[1], ARGV[6]) then
  return 1
end
local fields = { 'set_rate', 'set_concurrency', 'open_until_ms' }
for index, field in ipairs(fields) do
  if ARGV[index] == 'default' then
    redis.call('HDEL', KEYS[1], field)
  elseif ARGV[index] ~= '' then
    redis.call('HSET', KEYS[1], field, ARGV[index])
  end
end
if ARGV[3] ~= '' then
  look_again_now(KEYS[1])
end
note_action(KEYS[1], ARGV[4], 'limits', ARGV[5], now_ms(), ARGV[6])
return 1
