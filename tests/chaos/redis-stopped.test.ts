import { redisStopped } from './scenarios/redis-stopped.ts'
import { testShortForm } from './short-form.ts'

testShortForm(redisStopped)
