-- Shared by the scripts: recording a batch. Decided contact IDs go into the ledger, the others become items again.

-- Returns how many contact IDs of the batch are decided, and how many of the claim are neither decided nor in an item.
local function balance_of(claim, batch)
  local held, decided, open = 0, 0, 0
  for index = 4, #claim do
    held = held + size_of(claim[index])
  end
  for _, count in pairs(batch.counts) do
    decided = decided + count
  end
  for _, item in ipairs(batch.items) do
    open = open + item[3]
  end
  return decided, held - decided - open
end

-- Records and items are binary, so they are arguments of the script: ARGV from `first` on, records, then items.
-- `now` is on the steady clock.
local function record(job, claim, batch, decided, first, now)
  redis.call('HDEL', job .. ITEMS, unpack(claim, 4))
  redis.call('HINCRBY', job, 'inflight', -1)
  for index, segment in ipairs(batch.records) do
    redis.call('RPUSH', job .. LEDGER .. segment, ARGV[first - 1 + index])
  end
  for outcome, count in pairs(batch.counts) do
    redis.call('HINCRBY', job, 'n:' .. outcome, count)
  end
  if decided > 0 then
    redis.call('HINCRBY', job, 'n:pending', -decided)
  end
  for index, item in ipairs(batch.items) do
    local call, delay, size = item[1], item[2], item[3]
    local item_id = redis.call('HINCRBY', job, 'next_item', 1) .. ':' .. size
    redis.call('HSET', job .. ITEMS, item_id, ARGV[first - 1 + #batch.records + index])
    redis.call('ZADD', job .. DUE[call], now + delay, item_id)
  end
end
