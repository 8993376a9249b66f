/** GenerationStore on LMDB: texts by hash, beside them the day on which each was kept, and the amounts by period. */
import type { Database, RootDatabase } from 'lmdb'
import type { GenerationStore, KeptText } from '../../ports/text-generator.ts'
import { openStore } from './store.ts'

const DAY_MS = 86_400_000

export function openGenerationStore(folder: string): GenerationStore {
  const store: RootDatabase = openStore(folder)
  const texts: Database<KeptText, string> = store.openDB('texts', {})
  const days: Database<true, [day: number, hash: string]> = store.openDB('days', {})
  const amounts: Database<number, string> = store.openDB('amounts', {})
  const spent = (period: string) => amounts.get(period) ?? 0

  return {
    kept: async (hash) => texts.get(hash),
    async keep(hash, text, at) {
      await store.transaction(() => {
        texts.putSync(hash, text)
        days.putSync([Math.floor(at / DAY_MS), hash], true)
      })
    },
    // A request waits for this: it is done at once, where a transaction would wait for others to share a commit.
    reserve: async (period, amount, cap) =>
      store.transactionSync(() => {
        const next = spent(period) + amount
        if (next > cap) return false
        amounts.putSync(period, next)
        return true
      }),
    async settle(period, reserved, needed) {
      await store.transaction(() => amounts.putSync(period, spent(period) - reserved + needed))
    },
    spent: async (period) => spent(period),
    async expire(at) {
      await store.transaction(() => {
        for (const { key } of [...days.getRange({ end: [Math.floor(at / DAY_MS), ''] })]) {
          days.removeSync(key)
          texts.removeSync(key[1])
        }
      })
    },
    close: () => store.close(),
  }
}
