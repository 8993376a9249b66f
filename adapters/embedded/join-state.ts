/** JoinState on LMDB: one entry a part, keyed [id, part]; beside it when the id was last touched. */
import type { Database, RootDatabase } from 'lmdb'
import type { JoinState } from '../../ports/join-state.ts'
import { openStore } from './store.ts'

export function openJoinState(folder: string): JoinState {
  const store: RootDatabase = openStore(folder)
  const parts: Database<Uint8Array, [id: string, part: string]> = store.openDB('parts', { encoding: 'binary' })
  const touched: Database<number, string> = store.openDB('touched', {})

  function partsOf(id: string): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>()
    for (const { key, value } of parts.getRange({ start: [id, ''], end: [id, '\uffff'] })) {
      found.set(key[1], new Uint8Array(value))
    }
    return found
  }

  function forget(id: string): void {
    for (const part of partsOf(id).keys()) parts.removeSync([id, part])
    touched.removeSync(id)
  }

  function* idsBelow(count: number): Generator<{ id: string; at: number }> {
    for (const { key: id, value: at } of touched.getRange()) {
      if (parts.getKeysCount({ start: [id, ''], end: [id, '\uffff'] }) < count) yield { id, at }
    }
  }

  return {
    generation: async () => '',
    merge: (id, part, bytes, at) =>
      store.transaction(() => {
        parts.putSync([id, part], Buffer.from(bytes))
        touched.putSync(id, at)
        return partsOf(id)
      }),
    remove: (id) => store.transaction(() => forget(id)),
    async incomplete(count) {
      return [...idsBelow(count)].length
    },
    expire: (count, before) =>
      store.transaction(() => {
        const stale = [...idsBelow(count + 1)].filter(({ at }) => at < before)
        for (const { id } of stale) forget(id)
        return stale.length
      }),
    close: () => store.close(),
  }
}
