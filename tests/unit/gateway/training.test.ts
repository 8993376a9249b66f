import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pino } from 'pino'
import { createTrainingSyncs } from '../../../cli/training-syncs.ts'
import { OutageError } from '../../../ports/errors.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { triplet, tripletTopics, upload } from '../../support/triplet-topics.ts'
import { until } from '../../support/until.ts'
import { openGateway, type Ports } from './harness.ts'

describe('/v1/training', async () => {
  /** What a read of the topics waits for, or fails with. */
  let before: Promise<void> = Promise.resolve()
  const held = ({ broker, codec }: Ports) => ({
    trainingSyncs: createTrainingSyncs({
      broker: {
        ...broker,
        lag: broker.lag.bind(broker),
        async read(...asked) {
          await before
          return broker.read(...asked)
        },
      },
      codec,
      folder: temporaryFolder(),
      logger: pino({ level: 'silent' }),
    }),
  })
  const { app, broker, codec } = await openGateway({}, undefined, held)
  const topics = tripletTopics(broker, codec)
  const ask = async (method: 'GET' | 'POST' | 'DELETE', url: string) => {
    const { statusCode, body } = await app.inject({ method, url })
    return { status: statusCode, body: JSON.parse(body) as Record<string, unknown> }
  }
  const ended = () =>
    until('the sync has ended', async () => {
      const { body } = await ask('GET', '/v1/training')
      return body.state !== 'running' && body
    })

  test('says that there was no sync yet', async () => {
    assert.equal((await ask('GET', '/v1/training')).body.code, 'no-sync')
    assert.equal((await ask('DELETE', '/v1/training/sync')).status, 404)
  })

  test('begins a sync, refuses a second one beside it, and tells what came of it', async () => {
    await topics.produce(upload('a'), triplet('a'))
    let goOn = () => {}
    before = new Promise((resolve) => {
      goOn = resolve
    })
    const begun = await ask('POST', '/v1/training/sync')
    assert.deepEqual([begun.status, begun.body.state], [202, 'running'])
    const second = await ask('POST', '/v1/training/sync')
    assert.deepEqual([second.status, second.body.code], [409, 'sync-running'])
    goOn()
    const { state, report, doneRecords, totalRecords } = await ended()
    assert.equal(state, 'done')
    assert.deepEqual(report, { triplets: 1, chosenPairs: 0, added: 1, removed: 0, unreadable: 0 })
    assert.deepEqual([doneRecords, totalRecords], [1, 1])
  })

  test('stops the sync that runs', async () => {
    let goOn = () => {}
    before = new Promise((resolve) => {
      goOn = resolve
    })
    await topics.produce(upload('b'), triplet('b'))
    await ask('POST', '/v1/training/sync')
    const stopping = ask('DELETE', '/v1/training/sync')
    goOn()
    assert.equal((await stopping).body.state, 'stopped')
  })

  test('tells why a sync failed, and the next one begins anew', async () => {
    before = Promise.reject(new OutageError('broker-away', 'The broker is away.'))
    before.catch(() => {})
    await ask('POST', '/v1/training/sync')
    assert.deepEqual((await ended()).failure, { code: 'broker-away', message: 'The broker is away.' })
    before = Promise.resolve()
    await ask('POST', '/v1/training/sync')
    assert.equal((await ended()).state, 'done')
  })
})
