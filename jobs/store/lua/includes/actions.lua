-- Shared by the scripts: who did what to a job or portal, kept in its hash, so that it is forgotten with it. Field
-- actions: JSON, a list of {at_ms, by, action, detail, token}, oldest first. A detail is text, or the end (ms) of the
-- rest that the portal had asked for and the action cut short.
--
-- A connection may break before the reply arrives; the client then sends the same request again, and others may have
-- acted in between. A request is recognised by its token, as long as its action is kept.

local function actions_of(key)
  return cjson.decode(redis.call('HGET', key, 'actions') or '[]')
end

local function was_done(key, token)
  for _, action in ipairs(actions_of(key)) do
    if action.token == token then
      return true
    end
  end
  return false
end

local function note_action(key, by, action, detail, now, token)
  local actions = actions_of(key)
  if #actions >= MOST_ACTIONS then
    table.remove(actions, 1)
  end
  if detail == '' then
    detail = nil
  end
  actions[#actions + 1] = { at_ms = now, by = by, action = action, detail = detail, token = token }
  redis.call('HSET', key, 'actions', cjson.encode(actions))
end
