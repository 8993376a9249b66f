/**
 * What must happen in one step on the server: an upload's stages and failures (ports/catalogue.ts [failures]), and a
 * change of the release plan.
 *
 * An upload is a hash: id, kind, title; of each stage `first:<stage>` and `last:<stage>`, when it was first and last done;
 * of a failure that stands `failure:<stage>`, as JSON, and `failedAt:<stage>`. All times are Unix epoch, ms.
 *
 * Each of the projection's gives back the generation of the catalogue that it was carried out in.
 */
import { defineScript } from 'redis'

/** KEYS: the generation, the upload, ids of uploads, ids with a failure that stands. ARGV[1] = id, [2] = stage, [3] = at. */
const prelude = `
local upload, ids, failed = KEYS[2], KEYS[3], KEYS[4]
local id, stage, at = ARGV[1], ARGV[2], ARGV[3]
local function of(name) return tonumber(redis.call('HGET', upload, name .. ':' .. stage)) end
local function set(name, value) redis.call('HSET', upload, name .. ':' .. stage, value) end
local function know(kind)
  redis.call('HSET', upload, 'id', id, 'kind', kind)
  redis.call('ZADD', ids, 0, id)
end
local function noteFailed()
  local failedAt, done = of('failedAt'), of('last')
  if failedAt and done and failedAt <= done then
    redis.call('HDEL', upload, 'failedAt:' .. stage, 'failure:' .. stage)
  end
  for _, field in ipairs(redis.call('HKEYS', upload)) do
    if string.sub(field, 1, 9) == 'failedAt:' then return redis.call('SADD', failed, id) end
  end
  return redis.call('SREM', failed, id)
end
local function settle()
  noteFailed()
  return redis.call('GET', KEYS[1])
end
`

const transform = (...args: (string | Buffer)[]) => args
const transformReply = (generation: string | null) => generation

export const catalogueScripts = {
  /** ARGV[4] = kind, [5] = title if there is one. */
  recordStage: defineScript({
    NUMBER_OF_KEYS: 4,
    SCRIPT: `${prelude}
know(ARGV[4])
if ARGV[5] then redis.call('HSET', upload, 'title', ARGV[5]) end
local first, last = of('first'), of('last')
if not first or tonumber(at) < first then set('first', at) end
if not last or tonumber(at) > last then set('last', at) end
return settle()`,
    transformArguments: transform,
    transformReply,
  }),

  /** ARGV[4] = the failure as JSON, [5] = kind if it is known. */
  recordFailure: defineScript({
    NUMBER_OF_KEYS: 4,
    SCRIPT: `${prelude}
if ARGV[5] then know(ARGV[5]) end
local before = of('failedAt')
if not before or before <= tonumber(at) then
  set('failedAt', at)
  set('failure', ARGV[4])
end
return settle()`,
    transformArguments: transform,
    transformReply,
  }),

  /** KEYS: the generation, takedowns. ARGV[1] = id, [2] = at. */
  recordTakedown: defineScript({
    NUMBER_OF_KEYS: 2,
    SCRIPT: `
local before = tonumber(redis.call('HGET', KEYS[2], ARGV[1]))
if not before or before < tonumber(ARGV[2]) then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end
return redis.call('GET', KEYS[1])`,
    transformArguments: transform,
    transformReply,
  }),

  /** KEYS: the plan. ARGV[1] = the revision that must stand, 0 for none, [2] = the next plan as JSON. */
  replaceReleasePlan: defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: `
local standing = redis.call('GET', KEYS[1])
local revision = standing and cjson.decode(standing).revision or 0
if revision ~= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`,
    transformArguments: transform,
    transformReply: (written: number) => written === 1,
  }),
}
