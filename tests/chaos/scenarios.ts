/** All scenarios, in the order in which they are run. */
import type { Scenario } from './run-scenario.ts'
import { kafkaKilled } from './scenarios/kafka-killed.ts'
import { killProcessors } from './scenarios/kill-processors.ts'
import { network } from './scenarios/network.ts'
import { poison } from './scenarios/poison.ts'
import { redisStopped } from './scenarios/redis-stopped.ts'
import { redisWiped } from './scenarios/redis-wiped.ts'
import { registryDown } from './scenarios/registry-down.ts'
import { rollingRestart } from './scenarios/rolling-restart.ts'
import { severalInstances } from './scenarios/several-instances.ts'
import { zombieProducer } from './scenarios/zombie-producer.ts'

export const scenarios: readonly Scenario[] = [
  killProcessors,
  severalInstances,
  kafkaKilled,
  redisStopped,
  redisWiped,
  registryDown,
  network,
  rollingRestart,
  zombieProducer,
  poison,
]
