import { rollingRestart } from './scenarios/rolling-restart.ts'
import { testShortForm } from './short-form.ts'

testShortForm(rollingRestart)
