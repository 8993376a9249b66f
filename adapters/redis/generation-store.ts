/**
 * GenerationStore in Redis. Keys, after the prefix:
 *
 *   generation:text:<hash>      JSON of a kept text; the server forgets it after `keepMs`
 *   generation:spent:<period>   millionths of a US dollar, spent and set aside
 *
 * [cap] holds whatever processes reserve at the same time: the comparison and the addition are one script. A server that
 * was wiped has forgotten what was spent.
 */
import type { Redis } from 'ioredis'
import { z } from 'zod'
import type { GenerationStore } from '../../ports/text-generator.ts'
import { asked } from './connection.ts'

const reserve = `
local next = tonumber(redis.call('GET', KEYS[1]) or '0') + tonumber(ARGV[1])
if next > tonumber(ARGV[2]) then return 0 end
redis.call('INCRBY', KEYS[1], ARGV[1])
return 1`

const keptText = z.object({
  text: z.string(),
  truncated: z.boolean(),
  inputTokens: z.number(),
  outputTokens: z.number(),
})

/** @param redis stays its owner's to close. */
export function openRedisGenerationStore(options: {
  redis: Redis
  keyPrefix: string
  keepMs: number
}): GenerationStore {
  const { redis, keyPrefix, keepMs } = options
  const textKey = (hash: string) => `${keyPrefix}generation:text:${hash}`
  const spentKey = (period: string) => `${keyPrefix}generation:spent:${period}`
  const asWhole = (amount: number) => String(Math.trunc(amount))

  return {
    async kept(hash) {
      const text = await asked(redis.get(textKey(hash)))
      return text === null ? undefined : keptText.parse(JSON.parse(text))
    },
    async keep(hash, text) {
      await asked(redis.set(textKey(hash), JSON.stringify(text), 'PX', keepMs))
    },
    async reserve(period, amount, cap) {
      return (await asked(redis.eval(reserve, 1, spentKey(period), asWhole(amount), asWhole(cap)))) === 1
    },
    async settle(period, reserved, spent) {
      await asked(redis.incrby(spentKey(period), asWhole(spent - reserved)))
    },
    async spent(period) {
      return Number(await asked(redis.get(spentKey(period))))
    },
    async expire() {},
    async close() {},
  }
}
