import { redisWiped } from './scenarios/redis-wiped.ts'
import { testShortForm } from './short-form.ts'

testShortForm(redisWiped)
