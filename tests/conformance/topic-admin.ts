/** What every adapter of the TopicAdmin port must do. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { SetupError } from '../../ports/errors.ts'
import type { TopicAdmin } from '../../ports/topic-admin.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'

export interface TopicAdminSubject {
  open(): Promise<TopicAdmin>
  /** @param prefix of the names of all topics that the suite made. */
  close(prefix: string): Promise<void>
}

const DAY_MS = 86_400_000

export function topicAdminConformance(adapter: string, subject: TopicAdminSubject): void {
  describe(`TopicAdmin of ${adapter}`, () => {
    const prefix = `admin-${randomUUID().slice(0, 8)}-`
    let admin: TopicAdmin
    before(async () => {
      admin = await subject.open()
    })
    after(() => subject.close(prefix))

    const compacted = (): TopicSettings => ({
      name: `${prefix}${randomUUID()}.v1`,
      partitions: 2,
      retention: 'compacted',
      maxRecordBytes: 50_000,
    })
    const timed = (ms = DAY_MS): TopicSettings => ({ ...compacted(), retention: { ms } })
    const missing = `${prefix}missing.v1`

    async function created(settings: TopicSettings) {
      const [wanted] = await admin.wanted([settings])
      await admin.create([wanted!])
      return wanted!
    }
    async function described(name: string) {
      const [found] = await admin.describe([name])
      return found!
    }

    for (const [what, settings] of [
      ['compacted', compacted()],
      ['of a day', timed()],
    ] as const) {
      test(`a topic ${what} is described as it was wanted once it is created [settled]`, async () => {
        const wanted = await created(settings)
        assert.equal(wanted.name, settings.name)
        assert.equal(wanted.config['cleanup.policy'], settings.retention === 'compacted' ? 'compact' : 'delete')
        const found = await described(settings.name)
        assert.equal(found.partitions, 2)
        assert.ok([found.replicationFactor, 'default'].includes(wanted.replicationFactor))
        for (const [key, value] of Object.entries(wanted.config)) assert.equal(found.config[key], value, key)
        assert.ok((await admin.names()).includes(settings.name))
      })
    }

    test('creating what is there changes nothing, also beside what is not there and when two do it at once [idempotent]', async () => {
      const [old, fresh] = await admin.wanted([compacted(), timed()])
      await admin.create([old!])
      await admin.create([{ ...old!, partitions: 5 }, fresh!])
      await Promise.all(Array.from({ length: 3 }, () => admin.create([old!, fresh!])))
      assert.equal((await described(old!.name)).partitions, 2)
      assert.equal((await described(fresh!.name)).partitions, 2)
    })

    test('topics that are not there are left out of the description, and are not created by it', async () => {
      const { name } = await created(timed())
      assert.deepEqual(
        (await admin.describe([missing, name])).map((topic) => topic.name),
        [name],
      )
      assert.deepEqual(await admin.describe([missing]), [])
      assert.ok(!(await admin.names()).includes(missing))
    })

    test('altering one key leaves the others as they are [others]', async () => {
      const { name, config } = await created(timed())
      const retention = String(3 * DAY_MS)
      await admin.alter(name, { 'retention.ms': retention })
      const larger = String(Number(config['max.message.bytes']) + 1_000)
      await admin.alter(name, { 'max.message.bytes': larger })
      const found = await described(name)
      assert.deepEqual(
        { ...config, ...Object.fromEntries(Object.keys(config).map((key) => [key, found.config[key]])) },
        { ...config, 'retention.ms': retention, 'max.message.bytes': larger },
      )
      await admin.alter(name, { 'max.message.bytes': larger })
      assert.equal((await described(name)).config['max.message.bytes'], larger)
    })

    test('a topic that was kept for a time can be compacted from then on', async () => {
      const { name } = await created(timed())
      await admin.alter(name, { 'cleanup.policy': 'compact' })
      assert.equal((await described(name)).config['cleanup.policy'], 'compact')
    })

    test('partitions are added, by two at once too, and never taken away', async () => {
      const { name } = await created(timed())
      await Promise.all([admin.addPartitions(name, 4), admin.addPartitions(name, 4)])
      assert.equal((await described(name)).partitions, 4)
      await admin.addPartitions(name, 3)
      assert.equal((await described(name)).partitions, 4)
    })

    test('what cannot be is refused with its name', async () => {
      await assert.rejects(admin.alter(missing, { 'retention.ms': '1' }), isSetupError(missing, 'unknown-topic'))
      await assert.rejects(admin.addPartitions(missing, 9), isSetupError(missing, 'unknown-topic'))
      const { name } = await created(timed())
      await assert.rejects(admin.alter(name, { 'retention.ms': 'long' }), isSetupError(name))
      const [wanted] = await admin.wanted([timed()])
      await assert.rejects(admin.create([{ ...wanted!, partitions: 0 }]), isSetupError(wanted!.name))
    })
  })
}

function isSetupError(named: string, code?: string) {
  return (error: unknown) => {
    assert.ok(error instanceof SetupError, String(error))
    if (code !== undefined) assert.equal(error.code, code)
    assert.ok(error.message.includes(named), error.message)
    return true
  }
}
