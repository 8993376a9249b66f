import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after } from 'node:test'
import { openRedisCatalogue } from '../../adapters/redis/catalogue.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { testServices } from '../support/services.ts'
import { catalogueConformance } from './catalogue.ts'

const { redisUrl: url } = await testServices()
const keyPrefix = `test-${randomUUID()}:`
let catalogue: Catalogue | undefined
const open = async () => {
  catalogue = await openRedisCatalogue({ url, keyPrefix, onError: (error) => assert.fail(error) })
  return catalogue
}
const close = async () => catalogue?.close()

catalogueConformance('Redis', { open, close, reopen: () => close().then(open) })
after(() => eraseRedis(url, keyPrefix))
