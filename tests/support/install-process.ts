/** Makes an entry of the cache whose root is its argument, holding it half made until stdin ends; prints that it waits, and what it finds. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openCache } from '../../services/cache.ts'

const root = process.argv[2]!
const entry = await openCache(() => process.stdout.write('waits\n'), root).entry('entry', async (partial) => {
  writeFileSync(join(partial, 'file'), 'half')
  appendFileSync(join(root, 'log'), 'made\n')
  for await (const _ of process.stdin) {
    // Nothing is written.
  }
  writeFileSync(join(partial, 'file'), 'whole\n')
})
process.stdout.write(readFileSync(join(entry, 'file')))
