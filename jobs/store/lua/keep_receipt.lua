-- Keep what the receipts of an ended job are made with, for as long as its ledger stays as it is. Whoever is first
-- decides: every receipt of the same ledger is the same.
--   KEYS     1 job hash
--   ARGV     1 finished_ms   2 retry_token, or ''; both of the job whose ledger the caller reads
--            3 a seed that is kept if there is none
--            4 roots of the segments, made with this seed, that are kept if there are none; or ''
--   returns  {seed, roots}   the roots are '' until somebody has worked them out
--            {}              the job is gone, its ledger has changed, or the roots were made with a seed that this server
--                            has lost in a failover
local job = KEYS[1]
local facts = redis.call('HMGET', job, 'finished_ms', 'retry_token')
if facts[1] ~= ARGV[1] or (facts[2] or '') ~= ARGV[2] then
  return {}
end
local receipts, ledger = job .. RECEIPTS, ARGV[1] .. ' ' .. ARGV[2]
if redis.call('HGET', receipts, 'ledger') ~= ledger then
  redis.call('UNLINK', receipts)
  redis.call('HSET', receipts, 'ledger', ledger, 'seed', ARGV[3])
end
if ARGV[4] ~= '' then
  if redis.call('HGET', receipts, 'seed') ~= ARGV[3] then
    return {}
  end
  redis.call('HSETNX', receipts, 'roots', ARGV[4])
end
local kept = redis.call('HMGET', receipts, 'seed', 'roots')
return { kept[1], kept[2] or '' }
