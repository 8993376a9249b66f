import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { open } from 'lmdb'
import { acquireFolder, readFolderOwner } from '../../../adapters/embedded/folder-lock.ts'
import { SetupError } from '../../../ports/errors.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const ownerProcess = fileURLToPath(new URL('../../support/folder-owner-process.ts', import.meta.url))

/** Starts a process that takes the folder. `answer` is 'held', or the error's message. */
async function startOwner(folder: string): Promise<{ child: ChildProcess; answer: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', ownerProcess, folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [answer] = await once(createInterface(child.stdout!), 'line')
  return { child, answer }
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Replaces fields of the owner's record, as another machine, boot or container would have written it. */
async function alterOwner(folder: string, change: (owner: Record<string, unknown>) => Record<string, unknown>) {
  const db = open<Record<string, unknown>, string>({
    path: join(folder, 'owner.mdb'),
    noSubdir: true,
    encoding: 'json',
  })
  await db.put('owner', change(db.get('owner')!))
  await db.close()
}

describe('the lock of a data folder', () => {
  test('a second process is refused with the PID and URL of the owner, and gets the folder once that was killed', async () => {
    const folder = temporaryFolder()
    const { child, answer } = await startOwner(folder)
    try {
      assert.equal(answer, 'held')
      assert.deepEqual(await readFolderOwner(folder), { pid: child.pid, url: 'http://localhost:1234' })
      await assert.rejects(acquireFolder(folder), (error: SetupError) => {
        assert.equal(error.code, 'data-folder-in-use')
        assert.match(error.message, new RegExp(`process ${child.pid} at http://localhost:1234`))
        return true
      })
    } finally {
      await kill(child)
    }
    assert.equal(await readFolderOwner(folder), undefined)
    const hold = await acquireFolder(folder, { url: 'http://localhost:5' })
    assert.deepEqual(await readFolderOwner(folder), { pid: process.pid, url: 'http://localhost:5' })
    await hold.release()
    assert.equal(await readFolderOwner(folder), undefined)
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.sock')),
      [],
    )
  })

  test('of several processes that start at once after a kill, one gets the folder', async () => {
    const folder = temporaryFolder()
    const { child } = await startOwner(folder)
    await kill(child)
    const starters = await Promise.all(Array.from({ length: 4 }, () => startOwner(folder)))
    try {
      const answers = starters.map((starter) => starter.answer)
      assert.equal(answers.filter((answer) => answer === 'held').length, 1, answers.join('\n'))
    } finally {
      await Promise.all(starters.map((starter) => (starter.child.exitCode === null ? kill(starter.child) : undefined)))
    }
  })

  test('of several that judged the same owner dead, one gets the folder', async () => {
    const folder = temporaryFolder()
    const { child } = await startOwner(folder)
    await kill(child)
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => acquireFolder(folder)))
    const holds = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    assert.equal(holds.length, 1)
    await holds[0]!.release()
  })

  test('the same process cannot hold a folder twice', async () => {
    const folder = temporaryFolder()
    const hold = await acquireFolder(folder)
    await assert.rejects(acquireFolder(folder), SetupError)
    await hold.release()
    await (await acquireFolder(folder)).release()
  })

  test('a folder nobody ever held has no owner', async () => {
    assert.equal(await readFolderOwner(join(temporaryFolder(), 'missing')), undefined)
  })

  test('an owner from before a reboot does not count, nor one whose PID now belongs to another process', async (t) => {
    const folder = temporaryFolder()
    for (const stale of [{ bootId: 'an earlier boot' }, { startTime: '1' }]) {
      const hold = await acquireFolder(folder)
      if ((await readRecord(folder)).bootId === null) return t.skip('no /proc on this system')
      await alterOwner(folder, (owner) => ({ ...owner, ...stale }))
      assert.equal(await readFolderOwner(folder), undefined)
      await (await acquireFolder(folder)).release()
      await hold.release()
    }
  })

  test('an owner in another container counts while its socket answers, and no longer', async () => {
    const folder = temporaryFolder()
    const hold = await acquireFolder(folder)
    const elsewhere = { pidNamespace: 'pid:[another]', pid: 7 }
    await alterOwner(folder, (owner) => ({ ...owner, ...elsewhere }))
    assert.deepEqual(await readFolderOwner(folder), { pid: 7 })
    await assert.rejects(acquireFolder(folder), SetupError)
    await hold.release()

    const { child } = await startOwner(folder)
    await alterOwner(folder, (owner) => ({ ...owner, ...elsewhere }))
    await kill(child)
    await (await acquireFolder(folder)).release()
  })
})

async function readRecord(folder: string): Promise<Record<string, unknown>> {
  let record: Record<string, unknown> = {}
  await alterOwner(folder, (owner) => {
    record = owner
    return owner
  })
  return record
}
