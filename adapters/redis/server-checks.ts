/** What any Redis of ours must be, and what is said where it is not. */
import { SetupError } from '../../ports/errors.ts'
import type { SendCommand } from './connection.ts'

/** All keys of ours lie on one server, and stay there. @throws SetupError 'redis-cluster' | 'redis-evicts' */
export async function checkKeepsKeys(send: SendCommand): Promise<void> {
  if (/^cluster_enabled:1/m.test(String(await send('INFO', 'cluster')))) {
    throw new SetupError(
      'redis-cluster',
      'This Redis is of a cluster, which spreads keys that belong together: give the addresses of servers that are none. ' +
        'The index spreads over several by itself.',
    )
  }
  const [, policy = ''] = (await send('CONFIG', 'GET', 'maxmemory-policy').catch(() => [])) as string[]
  if (policy.startsWith('allkeys-')) {
    throw new SetupError(
      'redis-evicts',
      `Redis evicts any key when its memory is full (maxmemory-policy ${policy}), ours too; set noeviction.`,
    )
  }
}
